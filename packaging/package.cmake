# SPDX-License-Identifier: Apache-2.0
# What is installed beside the program, and the Debian package that CPack makes of it (scripts/package).
# Man pages, the schema and the completion come from the program itself, so they are made with the package and not before.
set(made ${CMAKE_BINARY_DIR}/package)
add_custom_target(package_files
  COMMAND ${CMAKE_SOURCE_DIR}/scripts/package-files $<TARGET_FILE:sluice> ${made}
  DEPENDS sluice
  VERBATIM)

set(examples conf/auto-scaling-otc.json conf/auto-scaling.json conf/image-recognition.json conf/modelarts.json conf/sluice.json conf/vpc.json)
install(FILES packaging/sluice.json DESTINATION /etc/sluice COMPONENT debian)
install(FILES packaging/sluice.service DESTINATION /lib/systemd/system COMPONENT debian)
install(FILES packaging/sluice.sysusers DESTINATION lib/sysusers.d RENAME sluice.conf COMPONENT debian)
install(FILES packaging/sluice.logrotate DESTINATION /etc/logrotate.d RENAME sluice COMPONENT debian)
install(FILES packaging/copyright DESTINATION share/doc/sluice COMPONENT debian)
install(FILES ${examples} packaging/sluice.socket DESTINATION share/doc/sluice/examples COMPONENT debian)
install(DIRECTORY ${made}/root/ DESTINATION . COMPONENT debian)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME sluice)
set(CPACK_PACKAGE_VENDOR "The authors of Sluice")
set(CPACK_PACKAGE_CONTACT "The authors of Sluice <maintainers@sluice.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "rate-limiting reverse proxy")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Sluice stands in front of services, forwards their traffic, and counts requests
per second, minute, hour or day. A request over the limit is refused with one
standard error body, and every client is told where it stands. Several proxies
share one count through Redis.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_CMAKE_PROJECTS "${CMAKE_BINARY_DIR};sluice;ALL;/")
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser, init-system-helpers (>= 1.54)")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "logrotate")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "redis-server, jq")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(control ${CMAKE_SOURCE_DIR}/packaging)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${control}/conffiles ${control}/postinst ${control}/prerm ${control}/postrm)
include(CPack)
